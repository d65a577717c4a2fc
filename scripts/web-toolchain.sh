# Finds a compiler whose library can be built from source, for targets without an operating system. To be sourced.
#
# Sets web_rustc and web_linker, and defines `web_cargo`, which is cargo with that compiler and a target folder of its
# own. Fails, with a reason on standard error, if there is none. On Debian: `web_install`.
#
# SODALITY_WEB_RUSTC names another compiler with its library's source.

web_install() {
    sudo=
    [ "$(id -u)" = 0 ] || sudo=sudo
    $sudo apt-get update -qq &&
        DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends \
            rustc-web rust-web-src lld >/dev/null
}

web_find() {
    web_rustc=${SODALITY_WEB_RUSTC:-}
    if [ -z "$web_rustc" ]; then
        # The package may put its compiler anywhere; it is the file of that name that runs.
        web_rustc=$(dpkg -L rustc-web 2>/dev/null | grep '/rustc$' | while read -r file; do
            [ -f "$file" ] && [ -x "$file" ] && "$file" --version >/dev/null 2>&1 && echo "$file" && break
        done)
    fi
    if [ -z "$web_rustc" ]; then
        echo "no compiler for other targets: install rustc-web, or name one in SODALITY_WEB_RUSTC" >&2
        return 1
    fi
    if [ ! -d "$("$web_rustc" --print sysroot)/lib/rustlib/src/rust/library/core" ]; then
        echo "$web_rustc has no source of its library: install rust-web-src" >&2
        return 1
    fi
    web_linker=
    for linker in $(ls /usr/bin/wasm-ld /usr/bin/wasm-ld-* 2>/dev/null | sort -V); do
        web_linker=$linker
    done
    if [ -z "$web_linker" ]; then
        echo "no linker for WebAssembly: install lld" >&2
        return 1
    fi
}

# The library's source is built as by a nightly compiler: RUSTC_BOOTSTRAP allows that. Warnings of the library, and what
# a newer compiler warns of, are not ours to mend here.
web_cargo() {
    env RUSTC="$web_rustc" RUSTC_BOOTSTRAP=1 RUSTFLAGS= CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER="$web_linker" \
        cargo "$@" --target-dir "${SODALITY_WEB_TARGET:-target/web}"
}
