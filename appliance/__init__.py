"""What every process of the kit shares: sealed files, the gate, cases, films, facts on the card."""
