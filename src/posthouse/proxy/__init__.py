"""The request's path: sites, routes, exchanges; callbacks, and no Task while everything is warm."""
