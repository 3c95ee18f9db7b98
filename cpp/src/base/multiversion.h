// VIALSIGHT_MULTIVERSION: compiles a function once per vector width and picks the widest the machine has, at load time.
//
// All versions give equal bits: the loops it is used on add in one fixed order, and contraction to FMA is off.
// Sanitizers cannot instrument the ifunc resolvers this needs; other compilers and platforms lack them.
#pragma once

// For what such a function calls: outside its body there is only the default version.
#if defined(__GNUC__)
#define VIALSIGHT_INLINE __attribute__((always_inline)) inline
#define VIALSIGHT_INLINE_LAMBDA __attribute__((always_inline))
#else
#define VIALSIGHT_INLINE inline
#define VIALSIGHT_INLINE_LAMBDA
#endif

#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__) && defined(__ELF__) && !defined(VIALSIGHT_SANITIZED)
#define VIALSIGHT_MULTIVERSION __attribute__((target_clones("default", "avx2", "avx512f")))
#else
#define VIALSIGHT_MULTIVERSION
#endif
