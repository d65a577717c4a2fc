//! Adapters that drive Sodality endpoints over real networks.
