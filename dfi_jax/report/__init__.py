"""Pictures that report on an edit: contact sheets and plots."""
