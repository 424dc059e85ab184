//! The machine that a result was measured on, and the day.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aet_learn::Device;
use aet_learn::device::part;

/// The processor and the threads in use, in words.
pub fn description() -> String {
    let threads = rayon::current_num_threads();
    let cpu = std::fs::read_to_string("/proc/cpuinfo").ok();
    let model = cpu.as_deref().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("model name"))?;
        Some(line.split_once(':')?.1.trim().to_string())
    });
    let model = model.unwrap_or_else(|| std::env::consts::ARCH.into());
    let plural = if threads == 1 { "" } else { "s" };
    format!("{model}, {threads} thread{plural}")
}

/// What a result was computed on: the part behind `device`, or else the processor.
pub fn running(device: &Device) -> String {
    match part(device) {
        Some(part) => format!("{part}, {}", description()),
        None => description(),
    }
}

/// Seconds since 1970.
pub fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}

/// The day of `seconds` since 1970, such as `2026-11-25`, in UTC.
pub fn day(seconds: u64) -> String {
    let time = UNIX_EPOCH + Duration::from_secs(seconds);
    let text = humantime::format_rfc3339_seconds(time).to_string();
    text.chars().take_while(|letter| *letter != 'T').collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_calendar() {
        assert_eq!(day(0), "1970-01-01");
        assert_eq!(day(1_709_164_800), "2024-02-29");
    }
}
