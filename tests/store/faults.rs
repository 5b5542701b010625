//! A faulty proxy in front of Garage: an upload completes and is right, or fails with nothing visible and nothing left
//! open that no journal knows.

use std::time::{Duration, Instant};

use maint::model::{
    failure::{Class, Diagnose},
    store::Proof,
};

use super::*;
use crate::{
    bucket::{Server, block_on},
    proxy::{Fault, Head, Proxy},
};

const MIB: usize = 1 << 20;
/// Three parts.
const BYTES: usize = 33 * MIB;

/// Garage behind a proxy, and a file.
struct Scene {
    garage: std::sync::Arc<Server>,
    proxy: Proxy,
    prefix: String,
    stage: Stage,
    file: (PathBuf, FileDigest),
}

impl Scene {
    fn new(name: &str, bytes: usize) -> Self {
        let garage = Server::garage();
        let (proxy, prefix) = (Proxy::before(garage.port), own_prefix(name));
        let stage = Stage::new(garage.store_at(&proxy.endpoint(), &prefix));
        let file = stage.file("x", bytes);
        Self { garage, proxy, prefix, stage, file }
    }

    fn put(&self) -> Result<Stored, StoreError> {
        put(&self.stage.open(), "s/x", &self.file.0, &self.file.1)
    }

    /// The object is right, and nothing stands open.
    fn is_right(&self) {
        self.proxy.heal();
        assert_eq!(self.garage.keys(&self.prefix), [format!("{}/s/x", self.prefix)]);
        assert_eq!(digest_of(&self.stage.open(), "s/x").unwrap().sha256, self.file.1.sha256);
        self.nothing_left();
    }

    fn nothing_left(&self) {
        assert_eq!(self.garage.open_uploads(&self.prefix), Vec::<String>::new());
        assert!(!self.stage.journals().iter().any(|name| name.ends_with(".jsonl")), "{:?}", self.stage.journals());
    }

    /// Nothing is visible; a journal knows of what stands open, and the next call completes it.
    fn is_not_there(&self) {
        assert_eq!(self.garage.keys(&self.prefix), Vec::<String>::new());
        let journals = self.stage.journals().iter().filter(|name| name.ends_with(".jsonl")).count();
        assert!(self.garage.open_uploads(&self.prefix).len() <= journals, "an upload is open that no journal knows");
        self.proxy.heal();
        self.put().unwrap();
        self.is_right();
    }
}

type Wanted = fn(&Head) -> bool;

fn all(_: &Head) -> bool {
    true
}
fn a_part(head: &Head) -> bool {
    head.is("PUT", &["partNumber="])
}
fn completion(head: &Head) -> bool {
    head.is("POST", &["uploadId="])
}
fn creation(head: &Head) -> bool {
    head.is("POST", &["uploads"])
}
fn question(head: &Head) -> bool {
    head.is("HEAD", &[])
}

const ERROR: &str = "<?xml version=\"1.0\"?><Error><Code>InternalError</Code><Message>try again</Message></Error>";
const SLOW_DOWN: &str = "<?xml version=\"1.0\"?><Error><Code>SlowDown</Code><Message>less</Message></Error>";
const DENIED: &str = "<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code><Message>no</Message></Error>";
const UNKNOWN: &str = "<?xml version=\"1.0\"?><Error><Code>NotImplemented</Code><Message>what?</Message></Error>";

/// Cases wait more than they work: four threads take them one after the other.
fn a_few_at_once<C: Send>(cases: Vec<C>, run: impl Fn(C) + Sync) {
    let cases = std::sync::Mutex::new(cases);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let case = cases.lock().unwrap().pop();
                    let Some(case) = case else { break };
                    run(case);
                }
            });
        }
    });
}

/// Every fault that passes, at every request that it can be about: the upload completes and is right.
#[test]
fn what_passes_is_waited_for() {
    // A part's answer is given up after four seconds, a completion's is waited for.
    let slow = Fault::Slow(Duration::from_millis(5000));
    let cases: [(&str, Fault, Wanted); 15] = [
        ("storm-500", Fault::Answer(500, ERROR), all),
        ("storm-503", Fault::Answer(503, SLOW_DOWN), all),
        ("slow-part", slow.clone(), a_part),
        ("slow-complete", slow, completion),
        ("reset-part", Fault::Reset(5 * MIB), a_part),
        ("lost-create", Fault::LoseAnswer, creation),
        ("lost-part", Fault::LoseAnswer, a_part),
        ("lost-complete", Fault::LoseAnswer, completion),
        ("cut-complete", Fault::Truncate(10), completion),
        ("cut-create", Fault::Truncate(10), creation),
        ("error-in-200", Fault::Answer(200, ERROR), completion),
        ("wrong-checksum", Fault::Header("x-amz-checksum-sha256", "AAAA"), a_part),
        ("flipped-part", Fault::FlipSent(7 * MIB), a_part),
        ("no-conditions", Fault::Answer(501, UNKNOWN), completion),
        ("gone-head", Fault::LoseAnswer, question),
    ];
    a_few_at_once(cases.to_vec(), |(name, fault, wants)| {
        let scene = Scene::new(name, BYTES);
        scene.proxy.fault(if name.starts_with("storm") || name.starts_with("no-") { 1 } else { 2 }, fault, wants);
        let stored = scene.put();
        assert!(stored.is_ok(), "{name}: {stored:?}");
        scene.is_right();
    });
}

/// Every fault that stays: the upload fails, and once it is gone the next one completes.
#[test]
fn what_stays_fails_with_nothing_visible() {
    let cases: [(&str, Fault, Wanted, Class); 8] = [
        ("all-500", Fault::Answer(500, ERROR), all, Class::Retryable),
        ("parts-503", Fault::Answer(503, SLOW_DOWN), a_part, Class::Retryable),
        ("parts-reset", Fault::Reset(3 * MIB), a_part, Class::Retryable),
        ("parts-denied", Fault::Answer(403, DENIED), a_part, Class::Failed),
        ("parts-flipped", Fault::FlipSent(7 * MIB), a_part, Class::Failed),
        ("parts-wrong", Fault::Header("x-amz-checksum-sha256", "AAAA"), a_part, Class::Verification),
        ("complete-200", Fault::Answer(200, ERROR), completion, Class::Retryable),
        ("complete-denied", Fault::Answer(403, DENIED), completion, Class::Failed),
    ];
    a_few_at_once(cases.to_vec(), |(name, fault, wants, class)| {
        let scene = Scene::new(name, BYTES);
        scene.proxy.fault(usize::MAX, fault, wants);
        let error = scene.put().unwrap_err();
        assert_eq!(error.class(), class, "{name}: {error:?}");
        if class != Class::Retryable {
            assert_eq!(scene.garage.open_uploads(&scene.prefix), Vec::<String>::new(), "{name}");
        }
        scene.is_not_there();
    });
}

#[test]
fn a_small_object_survives_the_same() {
    let writes = |head: &Head| head.is("PUT", &[]);
    for (name, fault) in [
        ("small-lost", Fault::LoseAnswer),
        ("small-reset", Fault::Reset(1000)),
        ("small-flipped", Fault::FlipSent(1000)),
        ("small-500", Fault::Answer(500, ERROR)),
        ("small-501", Fault::Answer(501, UNKNOWN)),
    ] {
        let scene = Scene::new(name, 70_000);
        scene.proxy.fault(1, fault, writes);
        scene.put().unwrap();
        scene.is_right();
    }
}

#[test]
fn where_the_server_tells_no_checksum_the_content_is_read_back() {
    for (name, fault) in [
        ("no-checksum", Fault::NoHeader("x-amz-checksum-sha256")),
        ("wrong-head", Fault::Header("x-amz-checksum-sha256", "AAAA")),
    ] {
        let scene = Scene::new(name, BYTES);
        scene.proxy.fault(usize::MAX, fault, question);
        assert_eq!(scene.put().unwrap().proof, Proof::ReadBack);
        assert!(!scene.put().unwrap().new, "{name}");
        scene.is_right();
    }
}

#[test]
fn what_was_stored_wrongly_is_taken_away_again() {
    let scene = Scene::new("stored-wrongly", BYTES);
    scene.proxy.fault(usize::MAX, Fault::NoHeader("x-amz-checksum-sha256"), question);
    scene.proxy.fault(usize::MAX, Fault::FlipAnswer(9 * MIB), |head| head.is("GET", &[]) && !head.is("GET", &["?"]));
    scene.proxy.fault(usize::MAX, Fault::FlipAnswer(9 * MIB), |head| head.is("GET", &["x-id=GetObject"]));
    let error = scene.put().unwrap_err();
    assert!(matches!(error, StoreError::Changed { .. }), "{error}");
    assert_eq!(scene.garage.keys(&scene.prefix), Vec::<String>::new());
    scene.is_not_there();
}

#[test]
fn a_flipped_byte_shows_when_it_is_fetched() {
    let scene = Scene::new("fetch-flipped", BYTES);
    scene.put().unwrap();
    scene.proxy.fault(usize::MAX, Fault::FlipAnswer(11 * MIB), |head| head.is("GET", &["s/x"]));
    let target = scene.stage.dir.path().join("fetched");
    let store = scene.stage.open();
    let fetched = block_on(store.fetch("s/x", &target, &CancellationToken::new(), &|_| ())).unwrap();
    assert_ne!(fetched.sha256, scene.file.1.sha256);
}

#[test]
fn a_download_that_breaks_off_goes_on() {
    let scene = Scene::new("fetch-cut", BYTES);
    scene.put().unwrap();
    scene.proxy.fault(2, Fault::Truncate(11 * MIB), |head| head.is("GET", &["s/x"]));
    scene.proxy.fault(1, Fault::Answer(503, SLOW_DOWN), |head| head.is("GET", &["s/x"]));
    scene.proxy.seen();
    let target = scene.stage.dir.path().join("fetched");
    let store = scene.stage.open();
    let fetched = block_on(store.fetch("s/x", &target, &CancellationToken::new(), &|_| ())).unwrap();
    assert_eq!(fetched.sha256, scene.file.1.sha256);
    assert_eq!(scene.proxy.seen().len(), 4);
    assert_eq!(scene.proxy.left(), 0);
}

#[test]
fn a_file_that_changes_while_it_is_sent_is_not_sent() {
    let scene = Scene::new("changing", BYTES);
    // The parts are slow enough for the file to change under them.
    scene.proxy.fault(1, Fault::Slow(Duration::from_millis(1500)), creation);
    let path = scene.file.0.clone();
    let changer = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(700));
        let file = fs::OpenOptions::new().write(true).open(path).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, b"other", 30 << 20).unwrap();
    });
    let error = scene.put().unwrap_err();
    changer.join().unwrap();
    assert!(matches!(error, StoreError::Source { .. }), "{error:?}");
    assert_eq!(scene.garage.keys(&scene.prefix), Vec::<String>::new());
    scene.nothing_left();
}

#[test]
fn a_silent_server_is_given_up() {
    let mut scene = Scene::new("silent", 1000);
    if let maint::model::store::Place::S3(settings) = &mut scene.stage.config.place {
        settings.answer_within = Duration::from_millis(500);
        settings.retry_for = Duration::from_secs(1);
    }
    scene.proxy.fault(usize::MAX, Fault::Slow(Duration::from_secs(600)), all);
    let begun = Instant::now();
    let error = scene.put().unwrap_err();
    assert!(matches!(error, StoreError::Unreachable { .. }) && error.to_string().contains("no answer"), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
}

#[test]
fn who_may_not_and_what_is_not_there_are_told_apart() {
    let scene = Scene::new("denied", 1000);
    let settle = |change: &dyn Fn(&mut maint::model::store::S3Settings)| {
        let mut config = scene.garage.store(&scene.prefix);
        if let maint::model::store::Place::S3(settings) = &mut config.place {
            change(settings);
        }
        let stage = Stage::new(config);
        put(&stage.open(), "s/x", &scene.file.0, &scene.file.1).unwrap_err()
    };
    let error = settle(&|settings| settings.bucket = "no-such-bucket".into());
    assert!(error.could_not_ask(), "{error:?}");
    let error = settle(&|settings| {
        let wrong = maint::model::secret::Secret::new("f".repeat(64));
        settings.keys.as_mut().unwrap().secret_key = maint::model::secret::SecretSource::Inline(wrong);
    });
    assert!(matches!(error, StoreError::Denied { .. }), "{error:?}");
    assert!(!format!("{error:?}").contains("ffffffff"), "{error:?}");
    let error = settle(&|settings| settings.endpoint = Some("https://127.0.0.1:9".into()));
    assert!(matches!(error, StoreError::Unreachable { .. }), "{error:?}");
}
