"""Laws of the repository itself: what holds whatever the code does."""
