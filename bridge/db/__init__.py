"""What the service remembers: tables, the mapping of rows to core values, and the unit of work. The only home of SQL writes."""
