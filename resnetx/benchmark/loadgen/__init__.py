"""MLPerf's scenarios with the traffic of MLPerf's LoadGen."""
