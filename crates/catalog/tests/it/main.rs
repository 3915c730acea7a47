//! One suite for both databases.

mod accounts;
mod alerts;
mod databases;
mod figures;
mod full_disk;
mod postgres;
mod suite;
mod wal;

macro_rules! on_both {
    ($suite:ident: $($name:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let database = crate::databases::Sqlite::new();
                crate::$suite::$name(&database.url()).await;
            })+
        }

        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                if let Some(url) = crate::databases::postgres(stringify!($name)).await {
                    crate::$suite::$name(&url).await;
                }
            })+
        }
    };
}

mod runs_and_copies {
    on_both! { suite:
        names_are_unique_without_regard_to_case,
        an_edit_names_the_version_it_saw,
        a_list_shows_every_edit,
        a_used_destination_stays,
        a_fire_is_queued_once,
        every_run_is_claimed_once,
        an_app_has_one_run_at_a_time,
        a_stale_token_can_do_nothing,
        what_each_destination_took_is_told_while_it_goes_on,
        a_duty_stays_until_it_is_done,
        the_end_is_one_transaction,
        a_waiting_run_is_cancelled_at_once,
        copies_are_deleted_in_steps_and_pins_hold,
        logs_are_numbered_without_gaps,
        what_is_written_is_there_after_opening_again,
    }
}

mod numbers_and_searches {
    on_both! { figures:
        totals_count_every_end_once,
        copies_and_the_queue_are_counted,
        the_newest_snapshots_come_page_by_page,
        how_apps_stand_is_told_of_all_at_once,
        a_log_is_searched_by_text_and_level,
    }
}

mod archives_of_wal {
    on_both! { wal: pieces_are_kept_by_object, one_orchestrator_receives }
}

mod people_and_programs {
    on_both! { accounts:
        users_are_kept_and_their_names_unique,
        an_admin_is_always_left,
        a_login_elsewhere_belongs_to_one_user,
        sessions_end_when_they_are_told_to,
        tokens_are_found_by_digest_until_revoked,
        what_was_refused_stands_in_nobodys_way,
        the_audit_log_tells_the_newest_first,
        the_audit_log_is_filtered,
    }
}

mod what_is_told {
    on_both! { alerts:
        channels_and_routes_are_kept_as_they_refer_to_each_other,
        changes_are_written_whole_or_not_at_all,
        events_wait_until_they_are_told,
        a_message_is_in_one_hand_and_ends_once,
        held_messages_become_one,
        turns_and_beats_are_one_at_a_time,
    }
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

#[tokio::test]
async fn a_file_of_version_1_is_copied_and_brought_up_to_date() {
    let database = databases::Sqlite::new();
    std::fs::write(database.file(), b"").unwrap();
    database.sql("PRAGMA journal_mode=WAL").await;
    database.sql(include_str!("version_1.sql")).await;

    let catalog = catalog::Catalog::open(&database.url(), 2).await.unwrap();
    let disk = catalog.destination_by_name("disk").await.unwrap();
    assert_eq!((disk.name.as_str(), disk.version), ("Disk", 3));
    assert_eq!(catalog.setting("vault_key_check").await.unwrap().as_deref(), Some("v1:kept"));
    assert_eq!(catalog.all_users().await.unwrap(), []);
    drop(catalog);

    // The copy is a whole catalog of version 1: another program of that version could use it.
    let copy = databases::Sqlite::new();
    std::fs::copy(database.file().with_extension("before-v10"), copy.file()).unwrap();
    assert!(!database.file().with_extension("before-v10.partial").exists());
    copy.sql(
        "INSERT INTO setting (name, value) SELECT 'version', MAX(version) FROM schema_version",
    )
    .await;
    let again = catalog::Catalog::open(&copy.url(), 2).await.unwrap();
    assert_eq!(again.setting("version").await.unwrap().as_deref(), Some("1"));
    assert_eq!(again.destination_by_name("disk").await.unwrap(), disk);
}
