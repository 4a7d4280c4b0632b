"""What documents and paper files are, their states and their rules; pure Python."""
