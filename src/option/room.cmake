# Same condition as for src/registry.c: with it, the fallback list of families must not exist, or the linker would stop
# at it.
if("stage" IN_LIST INS_ROOMS AND "probe" IN_LIST INS_ROOMS)
  target_compile_definitions(ins_option PRIVATE INS_HAVE_REGISTRY)
endif()
