//! One suite for both databases.

mod databases;
mod suite;

macro_rules! on_both {
    ($($name:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let database = crate::databases::Sqlite::new();
                crate::suite::$name(&database.url()).await;
            })+
        }

        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                if let Some(url) = crate::databases::postgres(stringify!($name)).await {
                    crate::suite::$name(&url).await;
                }
            })+
        }
    };
}

on_both! {
    names_are_unique_without_regard_to_case,
    an_edit_names_the_version_it_saw,
    a_used_destination_stays,
    a_fire_is_queued_once,
    every_run_is_claimed_once,
    an_app_has_one_run_at_a_time,
    a_stale_token_can_do_nothing,
    the_end_is_one_transaction,
    a_waiting_run_is_cancelled_at_once,
    copies_are_deleted_in_steps_and_pins_hold,
    logs_are_numbered_without_gaps,
    what_is_written_is_there_after_opening_again,
}

#[tokio::test]
async fn a_newer_catalog_is_refused_and_a_broken_one_is_told() {
    let database = databases::Sqlite::new();
    let catalog = catalog::Catalog::open(&database.url(), 2).await.unwrap();
    catalog.ping().await.unwrap();
    drop(catalog);
    database.sql("INSERT INTO schema_version (version) VALUES (99)").await;
    let error = catalog::Catalog::open(&database.url(), 2).await.unwrap_err();
    assert!(matches!(error, catalog::CatalogError::Newer { found: 99, .. }), "{error}");

    let broken = databases::Sqlite::new();
    std::fs::write(broken.file(), vec![b'x'; 8_192]).unwrap();
    let error = catalog::Catalog::open(&broken.url(), 2).await.unwrap_err();
    assert!(matches!(error, catalog::CatalogError::Corrupt(_)), "{error}");
}
