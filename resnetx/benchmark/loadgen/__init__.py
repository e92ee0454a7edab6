"""MLPerf's scenarios, with queries from MLPerf's LoadGen."""
