"""Plain frozen configuration: what the Caddyfile means, before anything runs."""
