"""What is secret: people's private keys, their passphrases, a case's key and its documents."""
