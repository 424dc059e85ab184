//! The end of the process.

use std::io::{Write, stderr, stdout};
use std::process::ExitCode;

/// Ends with `code`: 0 done, 1 failed, 2 usage.
///
/// Drivers of accelerators free what they hold in handlers that run at the end of a process, while
/// threads of the devices' queues still wait; some abort then, though all work is done (Mesa's lavapipe
/// about once in ten runs). So a build that has accelerators ends without those handlers.
pub fn with(code: u8) -> ExitCode {
    let has_accelerators = cfg!(any(
        feature = "wgpu",
        feature = "vulkan",
        feature = "metal",
        feature = "cuda",
        feature = "rocm"
    ));
    if has_accelerators {
        // Nobody is left to be told of a stdout that is closed.
        let _ = stdout().flush();
        let _ = stderr().flush();
        // SAFETY: ends the process at once; what was to be dropped has been, and files are written
        // without buffers of the C library.
        unsafe { libc::_exit(code.into()) }
    }
    ExitCode::from(code)
}
