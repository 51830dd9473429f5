# The kernel room: reference kernels compiled twice (f32, f64), cpu kernels once per instruction set.
file(GLOB ref_srcs CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/kernel/ref/*.c)
file(GLOB cpu_srcs CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/kernel/cpu/*.c)
file(GLOB loop_srcs CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/kernel/cpu/loop_*.c)
set(bf16_srcs ${CMAKE_SOURCE_DIR}/src/kernel/cpu/cpu_gemm.c ${CMAKE_SOURCE_DIR}/src/kernel/cpu/cpu_gemm_pack.c
             ${CMAKE_SOURCE_DIR}/src/kernel/cpu/cpu_probe.c ${CMAKE_SOURCE_DIR}/src/kernel/cpu/cpu_lstm.c
             ${CMAKE_SOURCE_DIR}/src/kernel/cpu/cpu_lstm_backward.c ${CMAKE_SOURCE_DIR}/src/kernel/cpu/cpu_attention.c
             ${CMAKE_SOURCE_DIR}/src/kernel/cpu/cpu_attention_backward.c
             ${CMAKE_SOURCE_DIR}/src/kernel/cpu/cpu_attention_few.c ${CMAKE_SOURCE_DIR}/src/kernel/cpu/cpu_act.c
             ${CMAKE_SOURCE_DIR}/src/kernel/cpu/cpu_act_maps.c)

# One object library of kernel sources under a name of its own, its objects added to the archive.
function(ins_kernel_variant name)
  cmake_parse_arguments(variant "" "" "SOURCES;DEFINES;FLAGS" ${ARGN})
  if(NOT variant_SOURCES)
    return()
  endif()
  add_library(ins_kernel_${name} OBJECT ${variant_SOURCES})
  target_include_directories(ins_kernel_${name} PRIVATE ${CMAKE_SOURCE_DIR}/src)
  target_compile_definitions(ins_kernel_${name} PRIVATE ${variant_DEFINES})
  target_compile_options(ins_kernel_${name} PRIVATE ${variant_FLAGS})
  set(INS_OBJECTS ${INS_OBJECTS} $<TARGET_OBJECTS:ins_kernel_${name}> PARENT_SCOPE)
endfunction()

ins_kernel_variant(ref_f32 SOURCES ${ref_srcs})
ins_kernel_variant(ref_f64 SOURCES ${ref_srcs} DEFINES INS_REAL_F64)

# The cpu files may contract a*b+c into one rounding; the reference files may not.
set(cpu_flags -ffp-contract=fast -O3)
if(CMAKE_C_COMPILER_ID MATCHES "Clang")
  list(APPEND cpu_flags -Wno-pass-failed) # clang leaves a maximum scalar where gcc vectorises it; the result is the same
endif()
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  target_compile_definitions(ins_kernel PRIVATE INS_KERNEL_X86)
  set(x86 INS_KERNEL_X86)
  set(avx2_flags -mavx2 -mfma -mf16c)
  set(avx512_flags ${avx2_flags} -mavx512f -mavx512bw -mavx512dq -mavx512vl -mprefer-vector-width=512)
  ins_kernel_variant(avx2 SOURCES ${cpu_srcs} FLAGS ${cpu_flags} ${avx2_flags}
                     DEFINES ${x86} INS_CPU_SUFFIX=avx2 INS_CPU_LEVEL=INS_ISA_AVX2)
  ins_kernel_variant(avx512 SOURCES ${cpu_srcs} FLAGS ${cpu_flags} ${avx512_flags}
                     DEFINES ${x86} INS_CPU_SUFFIX=avx512 INS_CPU_LEVEL=INS_ISA_AVX512)
  ins_kernel_variant(avx512_bf16 SOURCES ${bf16_srcs} FLAGS ${cpu_flags} ${avx512_flags} -mavx512bf16
                     DEFINES ${x86} INS_CPU_SUFFIX=avx512_bf16 INS_CPU_LEVEL=INS_ISA_AVX512_BF16 INS_CPU_BF16_DOT)
endif()
ins_kernel_variant(generic SOURCES ${cpu_srcs} FLAGS ${cpu_flags} DEFINES ${x86})
ins_kernel_variant(loops_f64 SOURCES ${loop_srcs} FLAGS ${cpu_flags} -ffp-contract=off DEFINES ${x86} INS_CPU_F64 INS_CPU_SUFFIX=f64 INS_CPU_LEVEL=INS_ISA_GENERIC)

# Libraries for matrix products are loaded at run time, where they are there; none is linked. Of oneDNN the build needs
# the header, because its structs changed between versions; OpenBLAS needs nothing. -DINS_ONEDNN=OFF leaves it out.
option(INS_ONEDNN "Call oneDNN where its library is found at run time (needs dnnl.h)" ON)
file(GLOB openblas_srcs CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/kernel/openblas/*.c)
target_sources(ins_kernel PRIVATE ${openblas_srcs})
list(APPEND INS_EXTRA_LIBS ${CMAKE_DL_LIBS})
find_path(INS_DNNL_INCLUDE dnnl.h)
if(INS_ONEDNN AND INS_DNNL_INCLUDE AND x86)
  file(GLOB onednn_srcs CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/kernel/onednn/*.c)
  target_sources(ins_kernel PRIVATE ${onednn_srcs})
  target_include_directories(ins_kernel PRIVATE ${INS_DNNL_INCLUDE})
  target_compile_definitions(ins_kernel PRIVATE INS_KERNEL_ONEDNN)
endif()
