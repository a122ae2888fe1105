"""What the page says in words: its language, its times, what a code means."""
