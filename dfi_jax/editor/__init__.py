"""A photo and an attribute in, edited photos out. The only place that knows every room."""
