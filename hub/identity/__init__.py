"""Who people and services are: users, passwords, keys, tokens, sessions. Messaging never imports this."""
