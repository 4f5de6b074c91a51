"""Reports over a period: one module for each, all in the table of `dashboard.reports.register`."""
