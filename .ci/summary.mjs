// Adds up vitest's JSON reports. A test that was skipped, or a file that did not even load, counts as failed.
import { readFileSync } from 'node:fs';

let passed = 0;
let failed = 0;
for (const file of process.argv.slice(2)) {
  try {
    const report = JSON.parse(readFileSync(file, 'utf8'));
    passed += report.numPassedTests;
    failed += report.numTotalTests - report.numPassedTests;
    failed += report.testResults.filter((suite) => suite.status === 'failed' && suite.assertionResults.length === 0).length;
    if (report.numTotalTests === 0) failed += 1;
    for (const suite of report.testResults)
      for (const test of suite.assertionResults)
        if (test.status !== 'passed') console.log(`${test.status}: ${test.fullName}`);
  } catch (error) {
    failed += 1;
    console.log(`no report in ${file.split('/').pop()}: ${error.message}`);
  }
}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 && passed > 0 ? 0 : 1;
