#include "tenants/currency.h"

#include <stddef.h>
#include <string.h>

/* The codes that are in use for money, by the decimals of their minor unit. */
static const char *const by_digits[CURRENCY_DIGITS_MAX + 1] = {
    [0] = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    [2] = "AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BOV BRL BSD BTN BWP "
          "BYN BZD CAD CDF CHE CHF CHW CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD "
          "FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD "
          "KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD "
          "NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP "
          "SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED "
          "VES WST XCD XCG YER ZAR ZMW ZWG",
    [3] = "BHD IQD JOD KWD LYD OMR TND",
    [4] = "CLF UYW",
};

/* All have three letters, so every fourth byte begins one. */
static bool has_code(const char *codes, const char *code) {
    size_t length = codes != NULL ? strlen(codes) : 0;

    for (size_t at = 0; at < length; at += 4)
        if (memcmp(codes + at, code, 3) == 0)
            return true;
    return false;
}

bool currency_find(const char *code, unsigned *minor_digits) {
    if (strlen(code) != 3)
        return false;
    for (unsigned digits = 0; digits <= CURRENCY_DIGITS_MAX; digits++) {
        if (!has_code(by_digits[digits], code))
            continue;
        *minor_digits = digits;
        return true;
    }
    return false;
}
