# xz is one of the compressors that the `compress` probe compares with; without liblzma it leaves that one out.
pkg_check_modules(LZMA IMPORTED_TARGET liblzma)
if(LZMA_FOUND)
  target_compile_definitions(ins_probe PRIVATE INS_HAVE_LZMA)
  target_link_libraries(ins_probe PRIVATE PkgConfig::LZMA)
  list(APPEND INS_EXTRA_LIBS PkgConfig::LZMA)
else()
  message(STATUS "liblzma not found: the probe `compress` will not measure xz")
endif()
