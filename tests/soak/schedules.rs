//! A thousand random schedules in each of four zones, held against systemd's own calendar.

#[path = "../systemd/oracle.rs"]
mod oracle;

use super::{from_env, random};

#[test]
#[ignore = "large; scripts/soak"]
fn schedules_fire_at_our_slots() {
    let count = usize::try_from(from_env("MAINT_SOAK_SCHEDULES", 1000)).unwrap();
    std::thread::scope(|scope| {
        for (number, zone) in oracle::ZONES.into_iter().enumerate() {
            scope.spawn(move || {
                oracle::random_cases(&mut random(0x5c4e + number as u64), zone, count);
                println!("{zone}: {count} random schedules, 40 instants each, all as systemd has them");
            });
        }
    });
}
