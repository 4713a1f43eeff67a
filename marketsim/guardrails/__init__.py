"""The governed envelope: limits inside the compiled step."""
