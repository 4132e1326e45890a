import { describe, expect, test } from 'vitest';
import { parseAddressRange, plainAddress } from '../../src/oci/address-range.ts';

test.each([
  ['10.0.0.1', '10.0.0.1'],
  ['::ffff:10.0.0.1', '10.0.0.1'],
  ['::FFFF:a00:1', '10.0.0.1'],
  ['2001:DB8:0:0::1', '2001:db8::1'],
  ['fe80::1%eth0', 'fe80::1'],
  ['010.0.0.1', undefined],
  ['10.0.0.1:80', undefined],
  ['unknown', undefined],
  ['', undefined],
  [']/@evil', undefined],
])('the address %j is %j', (text, address) => {
  expect(plainAddress(text)).toBe(address);
});

test.each([
  ['10.0.0.0/8', '10.255.255.255', true],
  ['10.0.0.0/8', '11.0.0.0', false],
  ['10.0.0.5', '10.0.0.5', true],
  ['10.0.0.5', '10.0.0.6', false],
  ['0.0.0.0/0', '203.0.113.9', true],
  ['0.0.0.0/0', '2001:db8::1', false],
  ['::/0', '2001:db8::1', true],
  ['2001:db8::/33', '2001:db8:7fff::1', true],
  ['2001:db8::/33', '2001:db8:8000::1', false],
  ['::ffff:10.0.0.0/104', '10.1.2.3', true],
  ['::ffff:10.0.0.0/104', '11.1.2.3', false],
  ['::1', '::1', true],
  ['::1', '127.0.0.1', false],
])('whether %s has %s: %j', (text, address, expected) => {
  const range = parseAddressRange(text);
  expect(range.ok && range.value.contains(address)).toBe(expected);
});

test('what is no address is in no range', () => {
  const range = parseAddressRange('0.0.0.0/0');
  expect(range.ok && range.value.contains('unknown')).toBe(false);
});

describe('refused are', () => {
  test.each(['10.0.0.0/33', '10.0.0.0/', '::1/129', '::ffff:10.0.0.0/8', 'proxy.lan', '10.0.0.0/8/8', '', '*'])(
    '%j',
    (text) => {
      expect(parseAddressRange(text)).toMatchObject({ ok: false });
    },
  );
});
