//! Many callers on few gateways at once.
