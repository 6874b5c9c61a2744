"""The static file server: what answers where no `proxy` takes the path (`root`, `index`, `browse`, `ext`, `mime`)."""
