"""What every part may use: files, isolated child processes, text for people, the vocabulary of options."""
