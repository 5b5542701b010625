//! Object Lock, versions and the bucket's refusal to write twice, as moto has them.

use aws_sdk_s3::types::{BucketVersioningStatus, VersioningConfiguration};
use chrono::{TimeDelta, Utc};
use maint::model::store::{Deleted, LockMode, ObjectLock, Place, S3Settings, ServerEncryption};

use super::*;
use crate::bucket::{Server, block_on};

fn with(mut config: StoreConfig, change: impl FnOnce(&mut S3Settings)) -> StoreConfig {
    if let Place::S3(settings) = &mut config.place {
        change(settings);
    }
    config
}

#[test]
fn a_locked_object_is_kept_until_its_day() {
    let moto = Server::moto();
    for (mode, parts) in [(LockMode::Compliance, false), (LockMode::Governance, true)] {
        let prefix = format!("lock-{parts}");
        let config = with(moto.store(&prefix), |settings| {
            settings.bucket = "locked".into();
            settings.object_lock = Some(ObjectLock { mode, days: 30 });
        });
        let stage = Stage::new(config);
        let store = stage.open();
        let (path, digest) = stage.file("x", if parts { 17 << 20 } else { 1000 });
        let stored = put(&store, "s/x", &path, &digest).unwrap();
        assert!(stored.version.is_some(), "{stored:?}");
        let in_30_days = Utc::now() + TimeDelta::days(30);
        let until = stored.kept_until.unwrap();
        assert!((until - in_30_days).abs() < TimeDelta::minutes(5), "{until}");
        assert_eq!(block_on(store.delete("s/x")).unwrap(), Deleted::KeptUntil(until));
        // No delete marker hides it.
        assert_eq!(digest_of(&store, "s/x").unwrap().sha256, digest.sha256);
        assert!(!put(&store, "s/x", &path, &digest).unwrap().new);
    }
}

#[test]
fn all_versions_of_a_deleted_object_are_gone() {
    let moto = Server::moto();
    let client = moto.client();
    block_on(async {
        client.create_bucket().bucket("versions").send().await.unwrap();
        let on = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
        client.put_bucket_versioning().bucket("versions").versioning_configuration(on).send().await.unwrap();
    });
    let stage = Stage::new(with(moto.store("v"), |settings| settings.bucket = "versions".into()));
    let store = stage.open();
    let first = put_text(&store, "head", "one", false).unwrap();
    let second = put_text(&store, "head", "two", false).unwrap();
    assert!(first.version.is_some() && first.version != second.version, "{first:?} {second:?}");
    assert_eq!(block_on(store.delete("head")).unwrap(), Deleted::Gone);
    let left = block_on(client.list_object_versions().bucket("versions").send()).unwrap();
    assert!(left.versions().is_empty() && left.delete_markers().is_empty(), "{left:?}");
}

#[test]
fn whether_a_bucket_refuses_to_write_twice_is_learned_from_the_object_itself() {
    for (server, refused) in [(Server::moto(), true), (Server::garage(), false)] {
        let prefix = own_prefix("twice");
        let stage = Stage::new(server.store(&prefix));
        let store = stage.open();
        put_text(&store, "manifest.json", "{}", true).unwrap();
        let overwrites = block_on(store.overwrites("manifest.json", b"{}", &CancellationToken::new())).unwrap();
        assert_eq!(overwrites == maint::model::store::Overwrites::Refused, refused);
        assert_eq!(server.keys(&prefix), [format!("{prefix}/manifest.json")]);
        assert_eq!(block_on(store.read("manifest.json", 9)).unwrap().as_deref(), Some(b"{}".as_slice()));
    }
}

#[test]
fn class_encryption_and_metadata_are_as_the_configuration_says() {
    let moto = Server::moto();
    let config = with(moto.store("class"), |settings| {
        settings.storage_class = Some("STANDARD_IA".into());
        settings.encryption = Some(ServerEncryption::Kms(Some("some-key".into())));
    });
    let stage = Stage::new(config);
    let store = stage.open();
    for (name, bytes) in [("small", 1000), ("parts", 17 << 20)] {
        let (path, digest) = stage.file(name, bytes);
        put(&store, name, &path, &digest).unwrap();
        let key = format!("class/{name}");
        let head = block_on(moto.client().head_object().bucket(bucket::BUCKET).key(key).send()).unwrap();
        assert_eq!(head.storage_class().unwrap().as_str(), "STANDARD_IA", "{head:?}");
        assert_eq!(head.server_side_encryption().unwrap().as_str(), "aws:kms", "{head:?}");
        assert_eq!(head.ssekms_key_id(), Some("some-key"), "{head:?}");
        assert_eq!(head.metadata().unwrap()["maint-sha256"], digest.sha256, "{head:?}");
    }
}
