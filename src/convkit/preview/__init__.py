"""What a fit would do, told before it does it: nothing is trained and nothing is written."""
