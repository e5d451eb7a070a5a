//! The catalog's tables in the database: made at once by several, made by others, or not to be made.

use crate::servers::*;
use crate::support::*;
use iceberg_writer::{Catalog, CatalogAddress, CatalogConfig, ErrorKind, TableName, TableOptions};

/// What PyIceberg makes, and Iceberg Java before it has views.
const V0: [&str; 2] = [
    "CREATE TABLE IF NOT EXISTS iceberg_tables (catalog_name VARCHAR(255) NOT NULL, table_namespace VARCHAR(255) NOT NULL,
         table_name VARCHAR(255) NOT NULL, metadata_location VARCHAR(1000), previous_metadata_location VARCHAR(1000),
         PRIMARY KEY (catalog_name, table_namespace, table_name))",
    "CREATE TABLE IF NOT EXISTS iceberg_namespace_properties (catalog_name VARCHAR(255) NOT NULL, namespace VARCHAR(255) NOT NULL,
         property_key VARCHAR(255) NOT NULL, property_value VARCHAR(1000) NOT NULL, PRIMARY KEY (catalog_name, namespace, property_key))",
];

async fn make_v0(database: &Database, end: &str) {
    for statement in V0 {
        database.sql(&format!("{statement}{end}")).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_that_begin_at_once_make_the_tables_together() {
    on_each_empty("at_once", async |folder, database| {
        for round in 0..5 {
            let database = match database.kind {
                Kind::Sqlite => Database {
                    name: folder.path().join(format!("c{round}.db")).to_string_lossy().into_owned(),
                    ..database.clone()
                },
                kind => Database::new(kind, &format!("at_once_{round}"), folder.path()).await,
            };
            let (address, warehouse) = (database.address(), folder.path().to_string_lossy().into_owned());
            let begin = || {
                let (address, warehouse) = (address.clone(), warehouse.clone());
                tokio::spawn(async move {
                    Catalog::open(&address, &warehouse, CatalogConfig::default()).await.unwrap().tables().await
                })
            };
            let all: Vec<_> = (0..6).map(|_| begin()).collect();
            if database.kind != Kind::Sqlite {
                // Java and PyIceberg make them without asking for our lock; that they may fail is theirs.
                drop(database.try_sql(V0[0]).await);
            }
            for one in all {
                assert_eq!(one.await.unwrap().unwrap(), []);
            }
            assert_eq!(database.sql("SELECT iceberg_type FROM iceberg_tables").await, [""; 0]);
        }
    })
    .await;
}

#[tokio::test]
async fn a_table_without_a_type_column_is_completed_and_views_are_no_tables() {
    on_each_empty("v0", async |folder, database| {
        make_v0(&database, "").await;
        database.sql("INSERT INTO iceberg_tables VALUES ('lake', 'old', 'one', 'file:///x', NULL), ('other', 'o', 't', '', '')").await;
        let warehouse = folder.path().to_string_lossy().into_owned();
        // Who reads takes it as it is.
        let reader = Catalog::open_read_only(&database.address(), &warehouse, CatalogConfig::default()).await.unwrap();
        assert_eq!(reader.tables().await.unwrap(), [TableName::new("old", "one")]);
        reader.close().await;
        let catalog = Catalog::open(&database.address(), &warehouse, CatalogConfig::default()).await.unwrap();
        assert_eq!(catalog.tables().await.unwrap(), [TableName::new("old", "one")]);
        assert_eq!(catalog.namespaces().await.unwrap(), ["old"]);
        let s = id_data(&[0]);
        let t = catalog.create_table(&name(&s), &s, TableOptions::default()).await.unwrap();
        let row = "SELECT table_namespace, previous_metadata_location, iceberg_type, metadata_location FROM iceberg_tables WHERE table_name = 'orders'";
        assert_eq!(database.sql(row).await, [format!("shop|∅|TABLE|{}", t.metadata_location())]);
        database.sql("UPDATE iceberg_tables SET iceberg_type = 'VIEW' WHERE table_name = 'orders'").await;
        assert!(catalog.load_table(&name(&s)).await.unwrap().is_none(), "a view is no table");
        let e = catalog.create_table(&name(&s), &s, TableOptions::default()).await.unwrap_err();
        assert!(e.kind() == ErrorKind::AlreadyExists && e.to_string().contains("a view has this name"), "{e}");
    })
    .await;
}

/// A user of the database who may not change its tables.
async fn user(database: &Database) -> CatalogAddress {
    let user = format!("u_{}", database.name);
    let statements = match database.kind {
        Kind::Sqlite => Vec::new(),
        Kind::Postgres => vec![
            format!("DROP ROLE IF EXISTS {user}"),
            format!("CREATE ROLE {user} LOGIN PASSWORD 'pw'"),
            format!("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {user}"),
        ],
        Kind::Mysql | Kind::Mariadb => vec![
            format!("DROP USER IF EXISTS {user}"),
            format!("CREATE USER {user} IDENTIFIED BY 'pw'"),
            format!("GRANT SELECT, INSERT, UPDATE, DELETE ON {}.* TO {user}", database.name),
        ],
    };
    for statement in statements {
        database.sql(&statement).await;
    }
    database.address().with_user(user).with_password("pw")
}

#[tokio::test]
async fn a_user_who_may_not_make_tables_is_told_and_writes_where_they_are_also_without_a_type_column() {
    on_each_empty("grants", async |folder, database| {
        if database.kind == Kind::Sqlite {
            return;
        }
        let warehouse = folder.path().to_string_lossy().into_owned();
        let address = user(&database).await;
        let e = Catalog::open(&address, &warehouse, CatalogConfig::default()).await.unwrap_err();
        assert!(e.kind() == ErrorKind::NotWritable && e.to_string().contains("cannot make the tables of the catalog"), "{e}");

        // Ours are made by somebody who may, then the type column is taken away: the table of PyIceberg.
        Catalog::open(&database.address(), &warehouse, CatalogConfig::default()).await.unwrap().close().await;
        database.sql("ALTER TABLE iceberg_tables DROP COLUMN iceberg_type").await;
        let address = user(&database).await;
        let catalog = Catalog::open(&address, &warehouse, CatalogConfig::default()).await.unwrap();
        let s = id_data(&[0]);
        let t = catalog.create_table(&name(&s), &s, TableOptions::default()).await.unwrap();
        let t = span(&t, &s, &[plus(1, "a")]).await;
        assert_eq!(all(&catalog.load_table(&name(&s)).await.unwrap().unwrap()).await, ["1|a"]);
        // Java adds the column under a catalog that is open.
        database.sql("ALTER TABLE iceberg_tables ADD COLUMN iceberg_type VARCHAR(5)").await;
        span(&t, &s, &[plus(2, "b")]).await;
        catalog.close().await;
        let catalog = Catalog::open(&address, &warehouse, CatalogConfig::default()).await.unwrap();
        assert_eq!(all(&catalog.load_table(&name(&s)).await.unwrap().unwrap()).await, ["1|a", "2|b"]);
    })
    .await;
}

#[tokio::test]
async fn in_tables_that_take_upper_for_lower_case_names_stay_exact_and_a_second_of_that_kind_is_refused() {
    on_each_empty("collation", async |folder, database| {
        if !matches!(database.kind, Kind::Mysql | Kind::Mariadb) {
            return;
        }
        for (i, collation) in
            ["utf8mb4 COLLATE utf8mb4_general_ci", "utf8mb4 COLLATE utf8mb4_unicode_ci", "latin1"].into_iter().enumerate()
        {
            let database = Database::new(database.kind, &format!("collation_{i}"), folder.path()).await;
            // A key of three names of utf8mb4 fits into InnoDB's as well.
            make_v0(&database, &format!(" CHARACTER SET {collation}")).await;
            let warehouse = folder.path().join(i.to_string()).to_string_lossy().into_owned();
            let catalog = Catalog::open(&database.address(), &warehouse, CatalogConfig::default()).await.unwrap();
            let s = id_data(&[0]);
            let upper = TableName::new("Größe", "Orders");
            let t = catalog.create_table(&upper, &s, TableOptions::default()).await.unwrap();
            span(&t, &s, &[plus(1, "a")]).await;
            assert_eq!(catalog.tables().await.unwrap(), std::slice::from_ref(&upper));
            for other in
                [TableName::new("Größe", "orders"), TableName::new("größe", "Orders"), TableName::new("Größe", "Orders ")]
            {
                assert!(catalog.load_table(&other).await.unwrap().is_none(), "{other}");
                assert!(!catalog.drop_table(&other).await.unwrap());
                let e = catalog.create_table(&other, &s, TableOptions::default()).await.unwrap_err();
                assert!(e.kind() == ErrorKind::AlreadyExists && e.to_string().contains("COLLATE utf8mb4_bin"), "{e}");
            }
            assert_eq!(all(&catalog.load_table(&upper).await.unwrap().unwrap()).await, ["1|a"]);
            catalog.close().await;
            // What the message says to do.
            for table in ["iceberg_tables", "iceberg_namespace_properties"] {
                database.sql(&format!("ALTER TABLE {table} CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_bin")).await;
            }
            let catalog = Catalog::open(&database.address(), &warehouse, CatalogConfig::default()).await.unwrap();
            let lower = TableName::new("größe", "orders");
            catalog.create_table(&lower, &s, TableOptions::default()).await.unwrap();
            assert_eq!(catalog.tables().await.unwrap(), [upper, lower]);
        }
    })
    .await;
}

#[tokio::test]
async fn tables_without_transactions_are_refused() {
    on_each_empty("myisam", async |folder, database| {
        if !matches!(database.kind, Kind::Mysql | Kind::Mariadb) {
            return;
        }
        // MyISAM's keys are too short for three names of four bytes a letter.
        make_v0(&database, " ENGINE=MyISAM CHARACTER SET latin1").await;
        let opened = Catalog::open(&database.address(), folder.path().to_string_lossy(), CatalogConfig::default()).await;
        let e = opened.unwrap_err();
        assert!(e.kind() == ErrorKind::Unsupported && e.to_string().contains("ENGINE = InnoDB"), "{e}");
    })
    .await;
}

#[tokio::test]
async fn a_server_that_cannot_be_reached_or_refuses_says_what_to_check_and_never_the_password() {
    on_each_empty("refuses", async |folder, database| {
        if database.kind == Kind::Sqlite {
            return;
        }
        let good = database.uri();
        let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let elsewhere = good.replace(&database.port.to_string(), &unused.to_string());
        let missing = good.replace(&database.name, "no_such_database");
        for (uri, user, password, said) in [
            (good.as_str(), "admin", "s3cret", "check user and password"),
            (good.as_str(), "nobody", "s3cret", "check user and password"),
            (elsewhere.as_str(), "admin", "admin", "check that the server runs and that host and port are right"),
            (missing.as_str(), "admin", "admin", "CREATE DATABASE makes it"),
        ] {
            let address = CatalogAddress::parse(uri).unwrap().with_user(user).with_password(password);
            for read in [false, true] {
                let config = CatalogConfig::default();
                let warehouse = folder.path().to_string_lossy();
                let opened = match read {
                    false => Catalog::open(&address, warehouse, config).await,
                    true => Catalog::open_read_only(&address, warehouse, config).await,
                };
                let e = opened.unwrap_err();
                assert_eq!(e.kind(), ErrorKind::Unreachable, "{e}");
                assert!(e.to_string().contains(said) && e.to_string().contains("127.0.0.1"), "{uri}: {e}");
                assert!(!format!("{e} {e:?} {address:?}").contains("s3cret"), "{e:?}");
            }
        }
        let nobody = CatalogAddress::parse(&good).unwrap();
        let e = Catalog::open(&nobody, folder.path().to_string_lossy(), CatalogConfig::default()).await.unwrap_err();
        assert!(e.kind() == ErrorKind::Invalid && e.to_string().contains("no user is given"), "{e}");
    })
    .await;
}

#[tokio::test]
async fn a_certificate_is_verified_as_the_address_says() {
    on_each_empty("tls", async |folder, database| {
        if database.kind == Kind::Sqlite || database.kind == Kind::Mariadb {
            return; // The MariaDB of the tests has no certificate.
        }
        let authority = database.data.join(if database.kind == Kind::Postgres { "ca.crt" } else { "ca.pem" });
        let mode = |mode: &str, ca: bool| {
            let ca = if ca { format!("&sslrootcert={}", authority.display()) } else { String::new() };
            let uri = format!("{}?sslmode={mode}{ca}", database.uri());
            CatalogAddress::parse(&uri).unwrap().with_user("admin").with_password("admin")
        };
        let open = async |address: CatalogAddress| {
            let opened = Catalog::open(&address, folder.path().to_string_lossy(), CatalogConfig::default()).await?;
            opened.tables().await
        };
        for (address, works) in [
            (mode("disable", false), true),
            (mode("prefer", false), true),
            (mode("require", false), true),
            // MySQL's own certificate names no host, which its client does not leave out of account.
            (mode("verify-ca", true), database.kind == Kind::Postgres),
            (mode("verify-ca", false), false),
            (mode("verify-full", false), false),
            (mode("verify-full", true), database.kind == Kind::Postgres),
        ] {
            match open(address.clone()).await {
                Ok(tables) => assert!(works && tables.is_empty(), "{address:?}"),
                Err(e) => assert!(!works && e.kind() == ErrorKind::Unreachable && e.to_string().contains("TLS"), "{e}"),
            }
        }
    })
    .await;
}
