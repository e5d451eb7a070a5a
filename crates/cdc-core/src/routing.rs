use crate::schema::TableId;

/// Names topics as Debezium does: `<prefix>.<database>.<table>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicRouter {
    prefix: String,
}

impl TopicRouter {
    /// Routes under `topic.prefix`.
    pub fn new(prefix: impl Into<String>) -> Self {
        Self { prefix: prefix.into() }
    }

    /// The prefix.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The topic of a table's changes. Different tables can get one name (illegal characters become `_`): the caller checks.
    pub fn data_topic(&self, table: &TableId) -> String {
        sanitize_topic(&format!("{}.{}.{}", self.prefix, table.database, table.table))
    }

    /// The topic of schema changes.
    pub fn schema_change_topic(&self) -> String {
        sanitize_topic(&self.prefix)
    }

    /// The compacted topic of the source's own progress.
    pub fn progress_topic(&self) -> String {
        sanitize_topic(&format!("__cdc.progress.{}", self.prefix))
    }
}

/// A legal Kafka topic name: every character outside `[a-zA-Z0-9._-]` becomes `_` (Debezium's rule).
pub fn sanitize_topic(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_gets_the_topic_that_debezium_gives_it() {
        let router = TopicRouter::new("shop");
        assert_eq!(router.data_topic(&TableId::new("inventory", "orders")), "shop.inventory.orders");
        assert_eq!(router.data_topic(&TableId::new("in ventory", "or$ders")), "shop.in_ventory.or_ders");
        assert_eq!(router.progress_topic(), "__cdc.progress.shop");
    }
}
