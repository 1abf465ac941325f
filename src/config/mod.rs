//! What a user may set, read and validated before anything starts.
