"""Where people meet a run: cases go out, answers come in. Files and the terminal; a live run looks for answers itself."""
