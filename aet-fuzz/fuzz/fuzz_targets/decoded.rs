#![no_main]

libfuzzer_sys::fuzz_target!(init: aet_fuzz::keep_quiet(), |bytes: &[u8]| {
    aet_fuzz::run("decoded", bytes)
});
