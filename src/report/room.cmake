# The page, its style and script, and Chart.js from the distribution, as C arrays: a report is one file without a network.
find_file(INS_CHART_JS NAMES chart.min.js chart.umd.js Chart.min.js
          PATHS /usr/share/javascript/chart.js /usr/share/nodejs/chart.js/dist /usr/share/javascript/chart.js/dist NO_DEFAULT_PATH)
if(NOT INS_CHART_JS)
  message(FATAL_ERROR "Chart.js not found: install libjs-chart.js (or run `make deps`)")
endif()
set(assets ${CMAKE_BINARY_DIR}/generated/report_assets.c)
set(asset_files ${CMAKE_SOURCE_DIR}/src/report/page.html ${CMAKE_SOURCE_DIR}/src/report/page.css
                ${CMAKE_SOURCE_DIR}/src/report/page_data.js ${CMAKE_SOURCE_DIR}/src/report/page_pipeline.js
                ${CMAKE_SOURCE_DIR}/src/report/page.js ${INS_CHART_JS})
add_custom_command(
  OUTPUT ${assets}
  COMMAND ${CMAKE_COMMAND} -DOUT=${assets} "-DFILES=${asset_files}"
          "-DNAMES=page_html;page_css;page_data_js;page_pipeline_js;page_js;chart_js" -P ${CMAKE_SOURCE_DIR}/cmake/embed.cmake
  DEPENDS ${asset_files} ${CMAKE_SOURCE_DIR}/cmake/embed.cmake
  COMMENT "Embedding the report's page"
  VERBATIM)
target_sources(ins_report PRIVATE ${assets})
