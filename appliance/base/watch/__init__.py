"""What watches over base itself, and tells people: nothing here decides about a family."""
