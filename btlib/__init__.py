"""btlib: trustworthy studies of brain-tumour MRI. Research software, not a medical device."""
