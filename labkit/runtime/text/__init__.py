"""Small texts on disk and their forms: whole files, JSON documents, moments."""
