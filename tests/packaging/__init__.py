"""What a user installs: the wheel, and what works with nothing but its dependencies."""
