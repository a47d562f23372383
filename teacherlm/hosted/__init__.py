"""Students that live behind an API: trained there by a job, asked there by name."""
