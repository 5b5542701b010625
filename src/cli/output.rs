//! How results are shown: tables, colours and progress where a terminal wants them.

use std::{
    io::IsTerminal,
    sync::{Arc, OnceLock},
};

use comfy_table::{ContentArrangement, Table};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::model::{
    event::{Event, EventSink},
    schedule::{Clocks, Slot},
};

/// Whether somebody reads stdout as it comes.
pub(super) fn is_terminal() -> bool {
    std::io::stdout().is_terminal()
}

/// Whether stdout takes colours (<https://no-color.org>).
fn colours() -> bool {
    static COLOURS: OnceLock<bool> = OnceLock::new();
    *COLOURS.get_or_init(|| {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
        is_terminal() && !refused
    })
}

fn paint(code: &str, text: &str) -> String {
    if colours() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
}

/// What is as it should be.
pub(super) fn good(text: &str) -> String {
    paint("32", text)
}

/// What is worth a look.
pub(super) fn warn(text: &str) -> String {
    paint("33", text)
}

/// What is wrong.
pub(super) fn bad(text: &str) -> String {
    paint("1;31", text)
}

/// What stands out.
pub(super) fn bold(text: &str) -> String {
    paint("1", text)
}

/// What matters less.
pub(super) fn faint(text: &str) -> String {
    paint("2", text)
}

/// A slot in its zone, and in UTC.
pub(super) fn slot(slot: &Slot, zone: chrono_tz::Tz) -> (String, String) {
    let local = slot.at.with_timezone(&zone).format("%a %Y-%m-%d %H:%M %Z");
    (local.to_string(), slot.at.format("%Y-%m-%d %H:%M").to_string())
}

/// What the clocks do to a slot, where they do anything.
pub(super) fn clocks(slot: &Slot) -> Option<String> {
    match slot.clocks {
        Clocks::Steady => None,
        Clocks::Skip(wall) => Some(format!("clocks skip {}", wall.format("%H:%M"))),
        Clocks::Repeat => Some("the first of two".to_owned()),
    }
}

/// An empty table with a heading; as wide as the terminal, without frames.
pub(super) fn table(heading: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_content_arrangement(ContentArrangement::Dynamic);
    // Plain: escapes would count as width.
    table.set_header(heading.to_vec());
    table
}

/// One progress line on a terminal's stderr, nothing elsewhere.
pub(super) struct Progress {
    bar: Arc<ProgressBar>,
}

/// A progress line; none for `--json` and where stderr is no terminal.
pub(super) fn progress(json: bool) -> Progress {
    let bar = if !json && std::io::stderr().is_terminal() {
        ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr())
    } else {
        ProgressBar::hidden()
    };
    bar.set_style(bar_style());
    Progress { bar: Arc::new(bar) }
}

/// What is done, whom it waits for, then bytes, rate and the time that is left: two lines, for the first may be long.
pub(super) fn bar_style() -> ProgressStyle {
    style("  {wide_msg}\n  {bar:24} {bytes:>10} of {total_bytes:<10} {bytes_per_sec:>12}, {eta} left")
}

/// The same of what has no end that is known.
pub(super) fn flow_style() -> ProgressStyle {
    style("  {wide_msg}\n  {spinner} {bytes} so far, {bytes_per_sec}")
}

/// What has no bytes: what is being done, and for how long.
pub(super) fn waiting_style() -> ProgressStyle {
    style("  {spinner} {elapsed:>3} {wide_msg}")
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━╸─")
}

impl Progress {
    /// Where progress events go.
    pub(super) fn sink(&self) -> EventSink {
        let bar = self.bar.clone();
        EventSink::new(move |event| {
            if let Event::Progress { done, total, doing, .. } = event {
                bar.set_length(total.unwrap_or(done));
                bar.set_position(done);
                bar.set_message(doing);
            }
        })
    }

    /// Takes the line away.
    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
