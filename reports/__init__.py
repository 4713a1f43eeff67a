"""Pages from run folders. Reads what a run left behind; knows no agent and starts nothing."""
