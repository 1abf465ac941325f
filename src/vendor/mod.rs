//! The seam to the clouds.
