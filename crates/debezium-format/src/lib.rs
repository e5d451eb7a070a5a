//! Debezium event keys and envelopes as JSON: encode from Arrow, decode into Arrow through compiled plans
